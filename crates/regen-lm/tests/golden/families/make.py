"""Tiny random checkpoints of every family with golden logits and greedy ids.

    python make.py            # rewrites every folder beside this file

Each folder is what `save_pretrained` writes (config.json, model.safetensors) plus `golden.safetensors`:

    ids        [3, 7] i64     token ids; also used for the padded cases
    soft       [3, 3, hidden] vectors that take the place of the first three embeddings
    logits_ids, logits_soft                [3, 7, vocab]  without padding
    left_mask, right_mask                  [3, 7] i64     1 = real
    logits_left, logits_right              [3, 7, vocab]  compare at real positions only
    greedy_left                            [3, 9] i64     new ids after the left-padded prompt
    greedy_soft                            [3, 9] i64     new ids after the soft-token prompt

All weights are redrawn with a wide spread: under the usual initialisation logits hardly depend on the
input, and a wrong mask would go unnoticed.
"""

import datetime
import json
import pathlib
import sys

import safetensors.torch
import torch
import transformers

HERE = pathlib.Path(__file__).parent
SEED = 20240611
BATCH, SEQ, SOFT, NEW = 3, 7, 3, 9
LENGTHS = [7, 4, 5]

COMMON = dict(
    vocab_size=61,
    hidden_size=24,
    intermediate_size=36,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)


def cases():
    t = transformers
    yield "llama", t.LlamaConfig(**COMMON, rms_norm_eps=1e-5, tie_word_embeddings=True, attention_bias=True)
    yield "llama3", t.LlamaConfig(
        **COMMON,
        head_dim=8,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        mlp_bias=True,
        rope_parameters=dict(
            rope_type="llama3",
            rope_theta=500.0,
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=16,
        ),
    )
    yield "llama_linear", t.LlamaConfig(
        **COMMON, tie_word_embeddings=False, rope_parameters=dict(rope_type="linear", rope_theta=1000.0, factor=4.0)
    )
    yield "llama_yarn", t.LlamaConfig(
        **COMMON,
        head_dim=12,
        tie_word_embeddings=False,
        rope_parameters=dict(
            rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16
        ),
    )
    yield "mistral", t.MistralConfig(**COMMON, head_dim=8, sliding_window=4, tie_word_embeddings=False)
    yield "qwen2", t.Qwen2Config(
        **COMMON, use_sliding_window=True, sliding_window=4, max_window_layers=1, tie_word_embeddings=True
    )
    yield "qwen3", t.Qwen3Config(**COMMON, head_dim=8, tie_word_embeddings=True)
    yield "gemma2", t.Gemma2Config(
        **COMMON,
        head_dim=8,
        sliding_window=4,
        query_pre_attn_scalar=12,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0,
    )
    yield "gemma3", t.Gemma3TextConfig(
        **COMMON,
        head_dim=8,
        sliding_window=4,
        query_pre_attn_scalar=12,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        rope_parameters=dict(
            full_attention=dict(rope_type="linear", rope_theta=1000.0, factor=2.0),
            sliding_attention=dict(rope_type="default", rope_theta=100.0),
        ),
    )
    yield "phi3", t.Phi3Config(
        **COMMON,
        sliding_window=5,
        tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=1000.0, partial_rotary_factor=0.67),
    )
    yield "gpt2", t.GPT2Config(
        vocab_size=61,
        n_embd=20,
        n_layer=3,
        n_head=4,
        n_inner=44,
        n_positions=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )


def redraw(model, generator):
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            parameter.data = parameter.data + 0.2 * noise
        elif "embed" in name or "wte" in name:
            parameter.data = 0.6 * noise
        else:
            parameter.data = noise * 0.3


def positions(mask):
    return (mask.cumsum(1) - 1).clamp(min=0)


def greedy(model, embeds, mask):
    """Full forward at every step: the plainest definition, and it checks that no step is a near tie."""
    rows = []
    embed = model.get_input_embeddings()
    smallest = 1e9
    for _ in range(NEW):
        logits = model(inputs_embeds=embeds, attention_mask=mask, position_ids=positions(mask)).logits[:, -1]
        top = logits.topk(2).values
        smallest = min(smallest, (top[:, 0] - top[:, 1]).min().item())
        ids = logits.argmax(-1)
        rows.append(ids)
        embeds = torch.cat([embeds, embed(ids[:, None])], 1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
    return torch.stack(rows, 1), smallest


@torch.no_grad()
def make(name, config, seed):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    redraw(model, generator)
    embed = model.get_input_embeddings()
    hidden = embed.weight.shape[1]
    ids = torch.randint(3, 61, (BATCH, SEQ), generator=generator)
    soft = torch.randn(BATCH, SOFT, hidden, generator=generator)
    left = torch.zeros(BATCH, SEQ, dtype=torch.long)
    right = torch.zeros(BATCH, SEQ, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        left[row, SEQ - length :] = 1
        right[row, :length] = 1
    full = torch.ones_like(left)
    spliced = torch.cat([soft, embed(ids)[:, SOFT:]], 1)
    golden = dict(ids=ids, soft=soft, left_mask=left, right_mask=right)
    golden["logits_ids"] = model(input_ids=ids).logits
    golden["logits_soft"] = model(inputs_embeds=spliced, attention_mask=full, position_ids=positions(full)).logits
    golden["logits_left"] = model(input_ids=ids, attention_mask=left, position_ids=positions(left)).logits
    golden["logits_right"] = model(input_ids=ids, attention_mask=right, position_ids=positions(right)).logits
    golden["greedy_left"], margin_left = greedy(model, embed(ids), left)
    golden["greedy_soft"], margin_soft = greedy(model, spliced, full)
    if min(margin_left, margin_soft) < 2e-3:
        return False
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    safetensors.torch.save_file({k: v.contiguous().clone() for k, v in golden.items()}, folder / "golden.safetensors")
    (folder / "PROVENANCE.toml").write_text(
        f'reference = "transformers {transformers.__version__}, torch {torch.__version__}, eager attention"\n'
        f'command = "python make.py"\n'
        f"seed = {seed}\n"
        f"date = {datetime.date.today().isoformat()}\n"
        "tolerance = 1e-4\n"
        'reason = "f32 sums in another order; logits are of order 10; greedy steps differ by at least 2e-3"\n'
    )
    return True


def main():
    wanted = sys.argv[1:]
    for index, (name, config) in enumerate(cases()):
        if wanted and name not in wanted:
            continue
        seed = SEED + 1000 * index
        while not make(name, config, seed):
            seed += 1
        print(name, seed, (HERE / name / "model.safetensors").stat().st_size)


main()
