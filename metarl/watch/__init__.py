"""A robot that walks in the browser while its mass, its motors or its goal are changed under it."""
