"""What somebody wants to buy."""
