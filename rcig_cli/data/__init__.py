"""Where images come from, and how pixels become network inputs and back."""
