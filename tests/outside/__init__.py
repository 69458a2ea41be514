"""What somebody else's package brings to qtwin, through the public doors only: one file for each kind of thing.

``qtwin train corridor:6 --agent cautious --import outside``, in the directory that this one lies in.
"""

from outside import agent as agent
from outside import diagnostic as diagnostic
from outside import home as home
from outside import hosted_home as hosted_home
from outside import rule as rule
