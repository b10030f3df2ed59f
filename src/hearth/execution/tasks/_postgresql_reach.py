"""What statements could do on the host of a PostgreSQL server, where a rollback takes nothing back.

A preview runs statements, and so does a run that is held to what was approved before its commit. By then a program may
run or a file be written: by COPY, and by whatever a function does. The server itself refuses that to a role without
the right to it, so what such a role sends is tried. For a role that may (or that reaches functions which act with more
rights than its own), only plain queries and changes of rows are, and only where no function can be reached that might
act: not by name, nor by triggers, defaults, constraints, policies, rules, indexes, operators, casts or types.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hearth.execution.tasks._postgresql_text import read_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from hearth.execution.tasks._postgresql_text import PostgresText

__all__ = ["done_elsewhere", "host_refusal"]

_PLAIN = frozenset(("select", "insert", "update", "delete", "merge", "values", "table", "with", "("))
_AT_ONCE = frozenset(("copy", "load", "checkpoint"))
# What a rollback does not take back, of what PostgreSQL and its usual extensions bring along, for any role.
_OUTSIDE = (
    r"lo_export|lo_import|dblink\w*|setval|pg_file_\w+|pg_(?:terminate|cancel)_backend|pg_reload_conf|pg_promote"
    r"|pg_rotate_logfile\w*|pg_switch_wal|pg_stat_\w*reset\w*|pg_create_\w*(?:slot|point)|pg_drop_replication_slot"
    r"|pg_copy_\w*slot|pg_replication_\w+|pg_logical_\w+|pg_log_\w+|pg_wal_replay_\w+|pg_backup_\w+|pg_(?:start|stop)_backup"
    r"|pg_import_system_collations"
)
_IS_OUTSIDE = re.compile(_OUTSIDE)
_CALLS_OUTSIDE = re.compile(rf"\b(?P<name>{_OUTSIDE})\"?\s*\(", re.IGNORECASE)
# Settings by which a superuser could change the catalogs, or have texts read in another way.
_SETTINGS = frozenset(("pg_settings", "allow_system_table_mods", "standard_conforming_strings"))
# Functions of PostgreSQL's own that may give another answer each time, and act on nothing but rows and sequences.
_HARMLESS = (
    *("random", "random_normal", "setseed", "array_sample", "array_shuffle", "gen_random_uuid", "uuidv4", "uuidv7"),
    *("clock_timestamp", "timeofday", "pg_sleep", "pg_sleep_for", "pg_sleep_until", "nextval", "currval", "lastval"),
    *("pg_notify", "lo_creat", "lo_create", "lo_from_bytea", "lo_get", "lo_put", "lo_open", "lo_close", "lo_unlink"),
    *("lo_lseek", "lo_lseek64", "lo_tell", "lo_tell64", "lo_truncate", "lo_truncate64", "loread", "lowrite"),
    *("pg_advisory_xact_lock", "pg_advisory_xact_lock_shared", "pg_try_advisory_xact_lock"),
    *("pg_advisory_lock", "pg_advisory_unlock", "pg_advisory_unlock_all", "pg_try_advisory_lock"),
)
_OWN = 16384  # objects from this number on were not there when the server was set up (FirstNormalObjectId)
_MOST_NAMED = 3
_ELSEWHERE = "what functions do outside of this database (other servers, files, notifications)"
_NOT_HELD = "it can be neither previewed nor held to an approval"
_RIGHTS = "('pg_execute_server_program', 'pg_write_server_files', 'pg_read_server_files')"
# CREATEROLE: before PostgreSQL 16 such a role may grant itself the rights above.
_POWERS = f"SELECT r.oid FROM pg_roles r WHERE r.rolsuper OR r.rolcreaterole OR r.rolname IN {_RIGHTS}"  # noqa: S608 - as below
_ROLE = f"""
SELECT session_user::text, current_setting('standard_conforming_strings'), (
    SELECT string_agg(CASE WHEN r.rolsuper THEN 'superuser' WHEN r.rolcreaterole THEN 'CREATEROLE' ELSE r.rolname END,
                      ', ' ORDER BY NOT r.rolsuper, r.rolname)
    FROM pg_roles r WHERE r.oid IN ({_POWERS}) AND EXISTS (
        SELECT 1 FROM pg_roles u WHERE pg_has_role(u.oid, r.oid, 'MEMBER') AND (u.rolname = session_user
            OR u.oid = (SELECT a.usesysid FROM pg_stat_activity a WHERE a.pid = pg_backend_pid())))),
    EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = session_user AND r.rolsuper)
"""  # noqa: S608 - made of constants
# What an extension brings that PostgreSQL calls trusted (everybody may install it) is compiled, and known.
_KNOWN = """
    EXISTS (SELECT 1 FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
            JOIN pg_available_extension_versions v ON v.name = e.extname AND v.version = e.extversion
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            AND d.refclassid = 'pg_extension'::regclass AND v.trusted AND l.lanname IN ('c', 'internal'))
"""
_MIGHTIER = f"""
SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.oid >= {_OWN} AND NOT {_KNOWN} AND (
    (p.prosecdef AND EXISTS (SELECT 1 FROM ({_POWERS}) w WHERE pg_has_role(p.proowner, w.oid, 'MEMBER')))
    OR (NOT l.lanpltrusted AND l.lanname NOT IN ('c', 'internal'))
    OR (l.lanname IN ('c', 'internal') AND NOT EXISTS (
        SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')))
AND (has_function_privilege(session_user, p.oid, 'EXECUTE')
     OR EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgfoid = p.oid)
     OR EXISTS (SELECT 1 FROM pg_event_trigger t WHERE t.evtfoid = p.oid))
UNION ALL  -- a trigger below a foreign key that acts by itself runs with the rights of its table's owner
SELECT t.tgfoid::regprocedure::text FROM pg_trigger t
JOIN pg_constraint k ON k.conrelid = t.tgrelid AND k.contype = 'f'
    AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND EXISTS (SELECT 1 FROM ({_POWERS}) w WHERE pg_has_role(c.relowner, w.oid, 'MEMBER'))
UNION ALL
SELECT f.ftrelid::regclass::text FROM pg_foreign_table f
WHERE EXISTS (SELECT 1 FROM unnest(f.ftoptions) o WHERE starts_with(o, 'program='))
"""  # noqa: S608 - as above
# Node trees hold each function that an expression calls, by its number, also PostgreSQL's own; pg_depend has not these.
_REACHED = f"""
WITH RECURSIVE rels (oid) AS (
    SELECT c.oid FROM pg_class c WHERE c.relname = ANY(%(names)s) AND c.oid >= {_OWN}
    UNION
    SELECT n.oid FROM rels r CROSS JOIN LATERAL (
        SELECT d.refobjid AS oid FROM pg_rewrite w JOIN pg_depend d
            ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
            WHERE w.ev_class = r.oid
        UNION ALL SELECT k.conrelid FROM pg_constraint k WHERE k.confrelid = r.oid
        UNION ALL SELECT k.confrelid FROM pg_constraint k WHERE k.conrelid = r.oid AND k.contype = 'f'
        UNION ALL SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = r.oid
        UNION ALL SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = r.oid
    ) n WHERE n.oid >= {_OWN}
), trees (tree) AS (
    SELECT concat(w.ev_action::text, w.ev_qual::text) FROM pg_rewrite w JOIN rels r ON w.ev_class = r.oid
    UNION ALL SELECT a.adbin::text FROM pg_attrdef a JOIN rels r ON a.adrelid = r.oid
    UNION ALL SELECT k.conbin::text FROM pg_constraint k JOIN rels r ON k.conrelid = r.oid
    UNION ALL SELECT concat(y.polqual::text, y.polwithcheck::text) FROM pg_policy y JOIN rels r ON y.polrelid = r.oid
    UNION ALL SELECT t.tgqual::text FROM pg_trigger t JOIN rels r ON t.tgrelid = r.oid
    UNION ALL SELECT concat(i.indexprs::text, i.indpred::text) FROM pg_index i JOIN rels r ON i.indrelid = r.oid
    UNION ALL SELECT q.partexprs::text FROM pg_partitioned_table q JOIN rels r ON q.partrelid = r.oid
    UNION ALL SELECT k.conbin::text FROM pg_constraint k WHERE k.contypid <> 0 AND k.oid >= {_OWN}
    UNION ALL SELECT y.typdefaultbin::text FROM pg_type y WHERE y.oid >= {_OWN}
), called (oid) AS (
    SELECT m[1]::oid FROM trees, regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') m
    UNION SELECT t.tgfoid FROM pg_trigger t JOIN rels r ON t.tgrelid = r.oid WHERE NOT t.tgisinternal
    UNION SELECT o.oprcode FROM pg_operator o WHERE o.oid >= {_OWN}
    UNION SELECT k.castfunc FROM pg_cast k WHERE k.oid >= {_OWN}
    UNION SELECT unnest(ARRAY[y.typinput, y.typoutput, y.typreceive, y.typsend, y.typmodin]::oid[])
        FROM pg_type y WHERE y.oid >= {_OWN}
    UNION SELECT s.amproc FROM pg_amproc s WHERE s.oid >= {_OWN}
    UNION SELECT e.evtfoid FROM pg_event_trigger e WHERE %(makes)s
    UNION SELECT p.oid FROM pg_proc p WHERE p.proname = ANY(%(names)s)
)
SELECT 'the function ' || p.oid::regprocedure::text FROM called c JOIN pg_proc p ON p.oid = c.oid
JOIN pg_language l ON l.oid = p.prolang
WHERE CASE WHEN p.oid >= {_OWN} THEN NOT {_KNOWN} ELSE p.provolatile = 'v' AND p.proname <> ALL(%(harmless)s)
    AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) END
UNION SELECT 'the foreign table ' || c.oid::regclass::text FROM rels r JOIN pg_class c ON c.oid = r.oid
WHERE c.relkind = 'f'
ORDER BY 1
"""  # noqa: S608 - as above


def host_refusal(connection: Connection, texts: Sequence[str]) -> str:
    """Return why statements might act on the server's host whatever becomes of their transaction; "" where not.

    Asked within the transaction, before the first of them; only PostgreSQL is.
    """
    if connection.dialect.name != "postgresql":
        return ""
    from sqlalchemy.exc import SQLAlchemyError

    from hearth.execution.tasks._database import message

    reads = [read_postgresql(text) for text in texts]
    for number, read in enumerate(reads, 1):
        if outside := read.doubt or _at_once(read):
            which = f"statement {number} of {len(reads)}: " if len(reads) > 1 else ""
            return f"{which}{outside}, so {_NOT_HELD}; run it in place (--in-place)"
    try:
        found = _reached(connection, reads)
    except SQLAlchemyError as problem:
        found = f"the server does not tell what they can reach ({message(problem)})"
    return found and (
        f"{found}: what is done on the server's host no rollback takes back, so {_NOT_HELD}. "
        "Connect as a role without such rights, or run it in place (--in-place)"
    )


def done_elsewhere(connection: Connection, texts: Sequence[str]) -> str:
    """Return why statements may do more than change rows and schema of a PostgreSQL database; "" where they cannot.

    Asked within the transaction, before the first of them; of other databases "" is told.
    """
    if connection.dialect.name != "postgresql":
        return ""
    from sqlalchemy.exc import SQLAlchemyError

    reads = [read_postgresql(text) for text in texts]
    why = next(filter(None, (read.doubt or _at_once(read) or _more_than_plain(read) for read in reads)), "")
    if not why:
        try:
            with connection.begin_nested():  # a query that fails does not end the transaction
                why = _with_own_names(connection, lambda: _listed(_functions(connection, reads)))
        except SQLAlchemyError:
            why = "the server does not tell which they are"
    return f"{_ELSEWHERE}: {why}" if why else ""


def _reached(connection: Connection, reads: Sequence[PostgresText]) -> str:
    """Return why statements might act on the server's host; SQLAlchemyError where it does not tell."""
    return _with_own_names(connection, lambda: _looked_at(connection, reads))


def _with_own_names(connection: Connection, look: Callable[[], str]) -> str:
    """Ask PostgreSQL while only its own functions answer to their names."""
    path = connection.exec_driver_sql("SELECT pg_catalog.current_setting('search_path')").scalar_one()
    connection.exec_driver_sql("SET LOCAL search_path = pg_catalog")
    found = look()
    connection.exec_driver_sql("SELECT set_config('search_path', %(path)s, true)", {"path": path})
    return found


def _looked_at(connection: Connection, reads: Sequence[PostgresText]) -> str:
    role, strings, rights, is_superuser = connection.exec_driver_sql(_ROLE).one()
    if strings != "on":
        return "standard_conforming_strings is off, so that texts may be read otherwise than they look"
    if rights:
        why = f"the role {role} has rights to the server's host ({'superuser' if is_superuser else rights})"
    else:
        found = [str(row[0]) for row in connection.exec_driver_sql(_MIGHTIER)]
        if not found:
            return ""
        why = f"the role {role} reaches what acts with other rights than its own ({_listed(found)})"
    for number, read in enumerate(reads, 1):
        if doubt := _more_than_plain(read):
            which = f"statement {number} of {len(reads)}: " if len(reads) > 1 else ""
            return f"{which}{doubt}, and {why}"
    reached = _functions(connection, reads)
    return f"it may use {_listed(reached)}, and {why}" if reached else ""


def _functions(connection: Connection, reads: Sequence[PostgresText]) -> list[str]:
    """Return what plain statements may reach that is not known to change nothing but rows."""
    asked: dict[str, Any] = {
        "names": sorted(frozenset[str]().union(*(read.names for read in reads))),
        "makes": any("into" in read.names and read.verb not in ("insert", "merge") for read in reads),
        "harmless": list(_HARMLESS),
    }
    return [str(row[0]) for row in connection.exec_driver_sql(_REACHED, asked)]


def _at_once(read: PostgresText) -> str:
    """Return in words what in a statement acts at once, whatever becomes of its transaction and whoever sends it."""
    called = next(filter(None, map(_CALLS_OUTSIDE.search, read.literals)), None)
    outside = next((f"{name}()" for name in sorted(read.names) if _IS_OUTSIDE.fullmatch(name)), "")
    if read.verb in _AT_ONCE:
        outside = "COPY from or to the server" if read.verb == "copy" else read.verb.upper()
    elif not outside and called is not None:
        outside = f"{called['name'].lower()}()"
    return outside and f"{outside} acts at once, whatever becomes of the transaction"


def _more_than_plain(read: PostgresText) -> str:
    """Return in words why a statement is more than a plain query or change of rows; else ""."""
    if read.several:
        return "several statements stand in one text"
    if read.verb not in _PLAIN:
        return f"{read.verb.upper()} is neither a query nor a change of rows"
    named = sorted(read.names & _SETTINGS)
    return f"{named[0]} is named" if named else ""


def _listed(found: Sequence[str]) -> str:
    more = len(found) - _MOST_NAMED
    return ", ".join(found[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
