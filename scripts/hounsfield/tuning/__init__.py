"""Search for better settings: spaces, a study that several workers share, and the page of what was found."""
