"""What assets are handed: settings, stores, vendors, and the event log of the instance."""
