"""What runs need: the prepared model and the prepared rows."""
