"""What other libraries call the settings of qtwin. Read without importing JAX.

An unknown option or keyword that stands here is answered with qtwin's own word for it, instead of the nearest string.
The words are those of Stable-Baselines3, CleanRL, Dopamine, RLlib, d3rlpy, Tianshou and a few papers' code.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from qtwin.errors import nearest

_EPSILON = "--explore START:END:OVER, for example --explore 1:0.05:50%"
_PERIOD = "--target hard:{C}, where C counts gradient steps"
_SMOOTHING = "--smoothing SIGMA:CLIP, for example --smoothing 0.2:0.5"
_PRIORITY = "--prioritise ALPHA:BETA, for example --prioritise 0.6:0.4"
_SUPPORT = "--support VMIN:VMAX, for example --support=-10:10"
_NET = "--net NET, for example --net mlp:256,256 (qtwin list nets)"
_OUT = "--out DIR; every run directory holds metrics.jsonl and TensorBoard events"
_CHECKPOINTS = "--checkpoints N, or --checkpoints every:N for one per N transitions"
_EVALUATIONS = "--log-points N, the number of evaluations in the run"
_DEVICE = "JAX chooses the device; set the environment variable JAX_PLATFORMS to cpu, cuda or tpu to decide"
_CALLBACK = "there are no callbacks; see --log-points, --checkpoints and --keep"
_ALWAYS = "qtwin always does this; leave it out"
_WHOLE_ENV = "the environment is the first argument, for example qtwin train CartPole-v1"

# qtwin's word, in the form of an option: {X} stands for the value that came, or for X. Text that does not begin with an
# option is an answer of its own.
_ANSWERS = {
    "--steps {N}": (
        "total_timesteps total_steps max_steps num_steps num_timesteps n_timesteps max_timesteps timesteps"
        " total_env_steps"
        " num_train_steps training_steps num_frames total_frames max_frames budget"
    ),
    "--steps N, a budget in transitions": "num_iterations n_iterations training_iterations max_epoch n_epochs"
    " num_epochs",
    "--n-step {N}": "update_horizon n_step_return estimation_step multi_step multi_steps nstep n_steps_return"
    " unroll_length",
    "--n-step N for n-step returns, or --steps N for the budget": "n_steps",
    "--discount {GAMMA}": "gamma discount_factor discount_rate",
    "--target soft:{TAU}": "tau polyak soft_update_tau target_update_tau target_tau critic_target_tau",
    _PERIOD: (
        "target_update_interval target_network_frequency target_update_period target_update_freq"
        " target_update_frequency"
        " target_network_update_freq target_network_update_interval target_network_update_period target_freq"
    ),
    "--replay {N}": (
        "buffer_size replay_capacity replay_size replay_buffer_size buffer_capacity memory_size max_replay_size"
        " capacity"
        " replay_memory_size replay_buffer_capacity"
    ),
    "--replay N, and --prioritise ALPHA:BETA for prioritised replay": (
        "replay_buffer_class replay_buffer_kwargs replay_buffer_config replay_buffer replay_scheme"
    ),
    "--warmup {N}": (
        "learning_starts min_replay_history min_replay_size start_timesteps start_steps warmup_steps random_steps"
        " num_steps_sampled_before_learning_starts random_timesteps initial_collect_steps prefill start_training"
    ),
    "--batch {B}": "batch_size train_batch_size minibatch_size mini_batch_size train_batch_size_per_learner",
    "--collect {M}, the transitions per cycle over all environments": (
        "train_freq train_frequency update_period update_every step_per_collect rollout_fragment_length update_freq"
        " training_frequency learn_period"
    ),
    "--regress {K}, the gradient steps per cycle": "gradient_steps num_updates updates_per_step num_gradient_steps",
    "--regress K with --collect M, for K gradient steps per M transitions": (
        "update_per_step utd utd_ratio replay_ratio training_intensity update_to_data"
    ),
    "--envs {N}": (
        "n_envs num_envs num_env_runners num_envs_per_env_runner num_workers n_workers training_num parallel_envs"
        " num_parallel_envs n_parallel"
    ),
    "--net mlp:{WIDTHS}": "net_arch hidden_sizes hidden_units hidden_layers fcnet_hiddens hidden_dims layers",
    _NET: (
        "policy policy_kwargs policy_type network model model_config features_extractor_class encoder_factory"
        " network_kwargs"
    ),
    "--net NET+duelling": "dueling duelling",
    "--net NET+noisy": "noisy noisy_net noisy_nets",
    "--net NET+layernorm": "layer_norm layernorm use_layer_norm",
    "--net NET+dropout=P": "dropout dropout_rate",
    "--bootstrap double": "double_q double_dqn is_double use_double double",
    "--lr {RATE}": "step_size alpha_lr critic_lr critic_learning_rate q_lr qf_lr learning_rate_schedule lr_schedule",
    "--actor-lr {RATE}": "policy_lr pi_lr policy_learning_rate",
    "--optimiser OPT, for example --optimiser adam:1.5e-4": (
        "optimizer optimizer_class optim optimizer_kwargs optim_factory adam_eps epsilon_adam"
    ),
    "--max-gradient-norm {NORM}": "max_grad_norm grad_clip clip_gradients gradient_clip grad_norm clip_grad_norm"
    " max_norm",
    "--loss LOSS, for example --loss huber": "loss_fn td_error_loss_fn huber_delta clip_loss_grad clip_grad loss_type",
    "--normalise running": "normalize normalize_observations normalize_obs norm_obs observation_normalization",
    "--regularise HOW": "regularizer regularize regularization",
    _PRIORITY: (
        "prioritize prioritized prioritized_replay prioritized_replay_alpha prioritized_replay_beta per"
        " priority_exponent"
        " beta beta0 importance_sampling_exponent"
    ),
    "--temperature ALPHA for the entropy coefficient, or --prioritise ALPHA:BETA for prioritised replay": "alpha",
    "--temperature {ALPHA}": "ent_coef entropy_coeff entropy_coefficient init_temperature initial_temperature"
    " initial_alpha",
    "--temperature auto": "autotune auto_alpha automatic_entropy_tuning learn_alpha",
    "--explore {EPS}": "epsilon eps exploration_noise action_noise eps_train",
    _EPSILON: (
        "exploration_fraction exploration_initial_eps exploration_final_eps start_e end_e epsilon_train eps_start"
        " eps_end"
        " epsilon_start epsilon_end epsilon_decay epsilon_decay_period epsilon_timesteps eps_decay initial_epsilon"
        " final_epsilon epsilon_fn exploration_config explorer exploration"
    ),
    "--atoms {K}": "num_atoms n_atoms atom_size",
    "--quantiles {N}": "n_quantiles num_quantiles num_tau_samples n_quantile num_quantile_samples sample_size",
    _SUPPORT: "v_min v_max vmin vmax",
    "--critics {N}": "n_critics num_qs num_critics ensemble_size num_q",
    "--subset {M}": "num_min_qs num_subset m_sample",
    "--drop {N}": "top_quantiles_to_drop_per_net n_dropped_quantiles",
    "--actor-every {N}": "policy_delay policy_frequency actor_delay update_actor_interval policy_freq"
    " actor_update_interval",
    _SMOOTHING: (
        "target_policy_noise target_noise_clip policy_noise noise_clip target_smoothing_sigma target_smoothing_clip"
        " update_actor_noise"
    ),
    "--trace {LAMBDA}": "gae_lambda td_lambda lambda_ lam q_lambda eligibility",
    "--agent NAME (qtwin list agents)": "algo algorithm agent_name alg",
    "--seeds {K}": "n_seeds num_seeds",
    "--eval-episodes {N}": "n_eval_episodes num_eval_episodes evaluation_duration test_num eval_episode",
    "--eval-max-steps {N}": "max_episode_steps max_steps_per_episode horizon episode_length",
    _EVALUATIONS: "eval_freq evaluation_interval eval_interval eval_frequency log_interval log_freq",
    _CHECKPOINTS: "save_freq checkpoint_freq checkpoint_frequency checkpoint_interval save_interval save_model",
    _OUT: (
        "tensorboard_log tb_log_name log_dir logdir log_path save_path exp_name run_name output_dir storage_path"
        " base_dir"
        " experiment_name save_dir local_dir"
    ),
    "--resume with --out DIR": "resume_from load load_path load_model restore checkpoint checkpoint_path"
    " reset_num_timesteps",
    "--quiet, which prints nothing": "verbose progress_bar silent verbosity show_progress log_level",
    "--preprocessing NAME, for Atari games (qtwin list preprocessings)": (
        "frame_stack frame_skip sticky_actions noop_max terminal_on_life_loss clip_rewards reward_clip"
    ),
    "--self-predict METHOD": "spr curl",
    _DEVICE: "device cuda use_gpu gpu num_gpus use_cuda accelerator framework",
    _CALLBACK: "callback callbacks eval_env evaluators",
    _ALWAYS: (
        "optimize_memory_usage handle_timeout_termination compile jit torch_deterministic torch_compile use_jit"
        " deterministic"
    ),
    _WHOLE_ENV: "env_id env_name environment environment_name game",
    "evaluation is greedy; Atari games have qtwin eval --protocol": "epsilon_eval eps_test eval_epsilon",
    "there is no video during training; write qtwin eval RUN --video FILE": "capture_video record_video render"
    " render_mode",
    "qtwin has no such setting; every run directory holds metrics.jsonl": "track wandb wandb_project use_wandb"
    " wandb_entity",
}  # fmt: skip
SYNONYMS = {word: answer for answer, words in _ANSWERS.items() for word in words.split()}


def hint(word: str, choices: Iterable[str], value: Any = None, options: Collection[str] | None = None) -> str:
    """The ending of a refusal of an unknown setting: qtwin's word for it, or else the nearest name.

    Args:
      word: an option or a keyword, as the user wrote it.
      choices: the valid names, of which the nearest may be offered.
      value: the value that came with it; None for none.
      options: those that may be named in the answer; None for all.

    Returns:
      for example ``"; qtwin calls it --discount 0.98"`` or ``"; did you mean 'target'?"``.
    """
    answer = SYNONYMS.get(word.lstrip("-").replace("-", "_").lower())
    named = re.match(r"--[a-z-]+", answer or "")
    if answer is None or (named and options is not None and named[0] not in options):
        return nearest(word, choices)
    filled = re.sub(r"\{(\w+)\}", lambda found: _written(value) or found[1], answer)
    return f"; qtwin calls it {filled}" if answer.startswith("--") else f"; {filled}"


def _written(value: Any) -> str:
    """A value as an option would hold it; "" where it cannot."""
    if isinstance(value, list | tuple) and value and all(type(each) is int for each in value):
        return ",".join(map(str, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    return text if re.fullmatch(r"[\w.,+-]{1,20}", text) else ""
