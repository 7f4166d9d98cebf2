"""Quality on real data: a module a table, from the original files to what is committed."""
