"""What KITTY does by itself: it looks, proposes, asks people, does what they agreed to, and measures the result."""
