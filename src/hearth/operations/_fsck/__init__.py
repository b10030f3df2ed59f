"""`hearth fsck`: everything that a ledger's folder says, derived again from the bytes that lie there.

Nothing here shares code with what writes: plain sqlite3, hashlib and the `rfc8785` package, and its own few lines for
each hash, count and link (a test looks at the imports). What both got wrong in the same way would never be found.
"""
