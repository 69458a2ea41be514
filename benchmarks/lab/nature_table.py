"""Study: Nature's Extended Data Table 3 on MinAtar, {replay, no replay} x {target, no target}.

python benchmarks/lab/nature_table.py [--list] [--only ROW ...]        about 1 h on two cores

A gradient step for every four frames, as in the Nature paper; MinAtar's own DQN takes one for every frame.
"""

from shared import EPSILON, Row, Study, main


def rows(game: str) -> tuple[Row, ...]:
    common = (
        f"minatar:{game}", "--preset", "minatar", *EPSILON, "--collect", "4", "--target", "hard:1000", "tied",
        "--steps", "1000000",
    )  # fmt: skip
    ends = ("--seeds", "5", "--log-points", "20")
    return (
        Row(f"{game}-replay", (*common, *ends), 19),
        # Each transition once, when it comes: the four newest are the batch.
        Row(f"{game}-no-replay", (*common, "--replay", "0", "--batch", "4", "--warmup", "0", *ends), 10),
    )


STUDY = Study(
    "nature-table",
    "Which does DQN need more, its replay or its target network, and does it need both?",
    "Mnih et al. 2015, Extended Data Table 3, Atari at 10 M frames: replay and target, then replay alone, then target"
    " alone, then neither, in Breakout (316.8, 240.7, 10.2, 3.2), Enduro, River Raid and Space Invaders; in Seaquest"
    " target alone (1003.0) is above replay alone (822.6). MinAtar (Young & Tian 2019, figure): Breakout at 1 M frames"
    " 9.3 with replay, 3.9 without; Freeway 47.8 with replay.",
    (*rows("Breakout"), *rows("Freeway")),
)

if __name__ == "__main__":
    main(STUDY)
