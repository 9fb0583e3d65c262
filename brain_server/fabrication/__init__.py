"""The workshop: what is printed, from the file to the review. Nothing here moves a printer by itself."""
