"""One module for each stage, in the order of the graph. Bodies read, call, write, report."""
