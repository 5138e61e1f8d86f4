"""What Python says about functions and annotations: how a function was made, and what the names in a hint mean."""
