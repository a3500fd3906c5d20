"""What is required of one photo, and how it is opened in safety."""
