"""A configuration file as a tree whose values know their place, changed in place."""
