"""What training, scanner, drift, outcomes and back-test are given, and which model was in force."""
