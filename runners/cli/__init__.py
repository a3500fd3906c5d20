"""The `edgeline` command, a file a group of commands."""
