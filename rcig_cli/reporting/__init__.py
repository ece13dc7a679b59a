"""Results as text, pictures and HTML pages."""
