"""A run that is stepped by hand: look at the two networks, the replay buffer and the diagnostics between the steps.

Run it with ``python examples/session_by_hand.py``.
"""

import sys

import qtwin

if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with qtwin.session("CartPole-v1", agent="dqn", target="hard:100", steps=steps, warmup=steps // 20) as session:
        print(session.rates)
        for _ in range(10):
            clock = session.advance(steps // 10)
            print(
                f"{clock.transitions:>7,} transitions  {clock.gradient_steps:>6,} gradient steps"
                f"  {clock.target_updates:>3} target updates  distance of the twins {qtwin.distance(session.twin):.4f}"
                f"  return {session.evaluate(10).mean():.1f}"
            )
        batch = session.replay.sample(256)
        policy = session.policy()
        print("mean value of states in the replay buffer:", policy.values(batch.obs).max(axis=-1).mean())
        print("log points so far:", len(session.metrics))
