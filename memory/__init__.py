"""What a memory is made of: pure functions over text and arrays."""
