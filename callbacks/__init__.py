"""What happens while trials train. Put your own beside these and name them by dotted path."""
