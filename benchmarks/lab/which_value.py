"""Study: which value should the target give? max, double, inverse double, online, minto and its controls.

python benchmarks/lab/which_value.py [--list] [--only ROW ...]        about 28 min on two cores
"""

from shared import EPSILON, Row, Study, main

WAYS = (
    "max", "double", "inverse-double", "online", "minto", "minto:max", "minto:mean", "minto:random",
)  # fmt: skip

STUDY = Study(
    "which-value",
    "Which of the two networks' values should the TD target take, and what does it do to over-estimation and return?",
    "van Hasselt et al. 2018: soft divergence in 61 % of Q-learning runs, 33 % of inverse double. Hendawy et al. 2025:"
    " the smaller of the two best, then the mean, one at random and the target alone, the online one alone poor, the"
    " larger worst.",
    (
        Row("CartPole", ("CartPole-v1", "--bootstrap", *WAYS, "--seeds", "10"), 8),
        Row("Acrobot", ("Acrobot-v1", "--preset", "cleanrl", "--bootstrap", *WAYS, "--seeds", "10"), 9),
        Row(
            "SpaceInvaders",
            (
                "minatar:SpaceInvaders", "--preset", "minatar", *EPSILON, "--collect", "4", "--bootstrap", *WAYS,
                "--steps", "120000", "--seeds", "5",
            ),
            11,
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    main(STUDY)
