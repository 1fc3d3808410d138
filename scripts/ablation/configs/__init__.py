"""What configurations say: YAML with places, canonical settings, effective values, differences."""
