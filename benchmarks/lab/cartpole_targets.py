"""Study: six targets on CartPole, the comparison of the README and of docs/studies/targets-on-cartpole.md.

python benchmarks/lab/cartpole_targets.py [--list]        about 7 min on two cores
"""

from shared import Row, Study, main

TARGETS = ("hard:10", "hard:100", "hard:1000", "soft:0.005", "tied", "frozen")
STUDY = Study(
    "cartpole-targets",
    "What does the target do, everything but it held fixed?",
    "nothing at this size: it is the first thing to try",
    (Row("CartPole-targets", ("CartPole-v1", "--target", *TARGETS, "--seeds", "10"), 7),),
)

if __name__ == "__main__":
    main(STUDY)
