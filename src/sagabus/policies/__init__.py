"""What a subscription may choose: when a failed message runs again, and which messages are copies of one another."""
