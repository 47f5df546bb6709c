"""All that is special to one database; nothing outside this package names one."""
