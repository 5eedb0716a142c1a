"""What each delivered image is, found out from its bytes alone."""
