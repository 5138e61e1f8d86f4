"""What all SQL stores share: the logic of the port, written once, over named statements of a dialect."""
