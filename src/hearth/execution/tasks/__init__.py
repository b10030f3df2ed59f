"""The tasks that come with HEARTH, one module each: shell, python, sql, http, file.

They are found through the entry-point group `hearth.tasks`, as anybody else's are; nothing is imported here.
"""
