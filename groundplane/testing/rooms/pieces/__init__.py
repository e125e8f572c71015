"""What each kind of furniture is made of."""
