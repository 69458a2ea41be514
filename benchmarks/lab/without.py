"""Study: can one do without a target network? LayerNorm, a softer maximum, functional regularisation, a frozen head.

python benchmarks/lab/without.py [--list] [--only ROW ...]        about 25 min on two cores
"""

from shared import Row, Study, main

COMMON, NET = ("CartPole-v1", "--seeds", "10"), "mlp:120,84"

STUDY = Study(
    "without",
    "What can stand in place of a target network: normalisation, a softer maximum, a penalty, a frozen last layer?",
    "Vincent et al. 2025: without a target DQN loses about 60 % of the area under the curve on Atari, with LayerNorm"
    " about 10 %; a frozen last layer closes most of the gap. Kim et al. 2019: mellowmax needs no target. Piche et al."
    " 2021: functional regularisation does as well as a target.",
    (
        Row("layernorm", (*COMMON, "--target", "hard:50", "tied", "--net", NET, f"{NET}+layernorm"), 7),
        Row("mellowmax", (*COMMON, "--target", "tied", "--bootstrap", "max", "mellowmax:1", "mellowmax:10"), 5),
        Row(
            "functional",
            (
                *COMMON, "--target", "hard:50", "hard:500", "--bootstrap", "online", "--regularise", "none",
                "functional:0.5", "functional:2",
            ),
            9,
        ),
        Row("last-layer", (*COMMON, "--target", "hard:50", "last-layer:hard:50", "tied"), 5),
    ),
)  # fmt: skip

if __name__ == "__main__":
    main(STUDY)
