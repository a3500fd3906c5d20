"""Imports a table by columns that are given by name, as most tests do."""

from data.importers import tables
from data.importers.table_file import Roles
from data.importers.table_roles import Named

_OF_IMPORT = ("least", "vocabulary", "ask")


def import_table(src, data_dir, label, group="", time="", text="", chosen=None, **more):
    of_import = {name: more.pop(name) for name in _OF_IMPORT if name in more}
    named = Named(Roles(label, group, time, text), chosen=chosen or {}, **more)
    return tables.import_table(str(src), data_dir, named, **of_import)
