"""What the records of all catalogues share, and how one from outside is added. Read without importing JAX.

A record is a NamedTuple that holds every fact about one thing that can be chosen by name: an agent, a target rule, an
environment's home, a replay, a measure, a Siamese method. Tables are derived from records, and code asks a record what
it can do, never what it is called.
"""

from qtwin.records.catalogue import NAME as NAME
from qtwin.records.catalogue import Catalogue as Catalogue
from qtwin.records.catalogue import origin_of as origin_of
from qtwin.records.catalogue import register as register
from qtwin.records.catalogue import registered_here as registered_here
from qtwin.records.fields import blanks as blanks
from qtwin.records.fields import dangling as dangling
from qtwin.records.fields import imported as imported
