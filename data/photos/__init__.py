"""What is asked of one photo, and how it is opened in safety."""
