"""One module a paper: its cases by name, trained and measured the way that the notebooks show them."""
