//! What the makers of popular models write into their folders. Tokens that only take up room are left out.

use serde_json::{Value, json};

use crate::published::{Cut, Published};

/// Fields that nearly all configurations have.
fn model(
    model_type: &str,
    [hidden, layers, heads, kv_heads, intermediate, positions, vocab]: [i64; 7],
    own: Value,
) -> Value {
    let object = json!({
        "architectures": ["AModel"], "attention_dropout": 0.0, "hidden_size": hidden, "initializer_range": 0.02,
        "intermediate_size": intermediate, "max_position_embeddings": positions, "model_type": model_type,
        "num_attention_heads": heads, "num_hidden_layers": layers, "num_key_value_heads": kv_heads,
        "torch_dtype": "bfloat16", "transformers_version": "4.45.0", "use_cache": true, "vocab_size": vocab,
    });
    with(object, own)
}

fn with(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

/// A token as older files write one.
fn token(content: &str, normalized: bool) -> Value {
    json!({ "__type": "AddedToken", "content": content, "lstrip": false, "normalized": normalized, "rstrip": false, "single_word": false })
}

/// Models whose vocabularies are of bytes.
pub(crate) fn byte_models() -> Vec<Published> {
    let gpt2 = |name, [hidden, heads, layers]: [i64; 3], parameters, own: Value| Published {
        name,
        model: with(
            json!({
                "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
                "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-5,
                "model_type": "gpt2", "n_ctx": 1024, "n_embd": hidden, "n_head": heads, "n_layer": layers, "n_positions": 1024,
                "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1, "summary_proj_to_labels": true,
                "summary_type": "cls_index", "summary_use_proj": true,
                "task_specific_params": { "text-generation": { "do_sample": true, "max_length": 50 } }, "vocab_size": 50257,
            }),
            own,
        ),
        parameters,
        tokens: &["<|endoftext|>"],
        begin: None,
        end: "",
        cut: Cut::Bytes,
        begins: false,
        tokenizer: json!({ "model_max_length": 1024 }),
        lists: false,
        map: Value::Null,
        generation: json!({ "bos_token_id": 50256, "eos_token_id": 50256, "transformers_version": "4.26.0.dev0" }),
        draws: false,
    };
    let small = gpt2("GPT-2", [768, 12, 12], 124_439_808, json!({}));
    let older = json!({ "n_special": 0, "predict_special_tokens": true });
    let medium = gpt2("GPT-2 medium", [1024, 16, 24], 354_823_168, older);
    let llama = Published {
        name: "Llama 3.2 1B Instruct",
        model: model(
            "llama",
            [2048, 16, 32, 8, 8192, 131_072, 128_256],
            json!({
                "attention_bias": false, "bos_token_id": 128_000, "eos_token_id": [128_001, 128_008, 128_009], "head_dim": 64,
                "hidden_act": "silu", "mlp_bias": false, "pretraining_tp": 1, "rms_norm_eps": 1e-5,
                "rope_scaling": {
                    "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                    "original_max_position_embeddings": 8192, "rope_type": "llama3",
                },
                "rope_theta": 500_000.0, "tie_word_embeddings": true,
            }),
        ),
        parameters: 1_235_814_400,
        tokens: &[
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
        ],
        begin: Some("<|begin_of_text|>"),
        end: "<|eot_id|>",
        cut: Cut::Bytes,
        begins: true,
        tokenizer: json!({
            "bos_token": "<|begin_of_text|>", "chat_template": "{{- bos_token }}", "clean_up_tokenization_spaces": true,
            "eos_token": "<|eot_id|>", "model_input_names": ["input_ids", "attention_mask"], "model_max_length": 131_072,
            "tokenizer_class": "PreTrainedTokenizerFast",
        }),
        lists: true,
        map: json!({ "bos_token": token("<|begin_of_text|>", false), "eos_token": token("<|eot_id|>", false) }),
        generation: json!({
            "bos_token_id": 128_000, "do_sample": true, "eos_token_id": [128_001, 128_008, 128_009], "temperature": 0.6,
            "top_p": 0.9, "transformers_version": "4.45.0.dev0",
        }),
        draws: true,
    };
    let qwen = |name, model, parameters, tokenizer: Value, generation| Published {
        name,
        model,
        parameters,
        tokens: &["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>"],
        begin: None,
        end: "<|im_end|>",
        cut: Cut::Bytes,
        begins: false,
        tokenizer,
        lists: true,
        map: Value::Null,
        generation,
        draws: true,
    };
    let of_qwen = || {
        json!({
            "add_bos_token": false, "add_prefix_space": false, "additional_special_tokens": ["<|im_start|>", "<|im_end|>", "<|vision_start|>"],
            "bos_token": null, "chat_template": "{{ messages }}", "clean_up_tokenization_spaces": false, "eos_token": "<|im_end|>",
            "errors": "replace", "model_max_length": 131_072, "pad_token": "<|endoftext|>", "split_special_tokens": false,
            "tokenizer_class": "Qwen2Tokenizer", "unk_token": null,
        })
    };
    let drawn = |repetition: Option<f64>, temperature: f64| {
        json!({
            "bos_token_id": 151_643, "pad_token_id": 151_643, "do_sample": true, "eos_token_id": [151_645, 151_643],
            "repetition_penalty": repetition, "temperature": temperature, "top_p": 0.8, "top_k": 20, "transformers_version": "4.37.0",
        })
    };
    let window = |layers: i64, window: Value| {
        json!({
            "bos_token_id": 151_643, "eos_token_id": 151_645, "hidden_act": "silu", "max_window_layers": layers, "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000.0, "sliding_window": window, "tie_word_embeddings": true, "use_sliding_window": false,
        })
    };
    let mut wider = window(28, Value::Null);
    for (field, value) in
        [("attention_bias", json!(false)), ("head_dim", json!(128)), ("rope_scaling", Value::Null)]
    {
        wider[field] = value;
    }
    let qwen25 = qwen(
        "Qwen2.5 0.5B Instruct",
        model("qwen2", [896, 24, 14, 2, 4864, 32_768, 151_936], window(21, json!(32_768))),
        494_032_768,
        of_qwen(),
        drawn(Some(1.1), 0.7),
    );
    let qwen3 = qwen(
        "Qwen3 0.6B",
        model("qwen3", [1024, 28, 16, 8, 3072, 40_960, 151_936], wider),
        596_049_920,
        of_qwen(),
        drawn(None, 0.6),
    );
    let smol = Published {
        name: "SmolLM2 135M Instruct",
        model: model(
            "llama",
            [576, 30, 9, 3, 1536, 8192, 49_152],
            json!({
                "attention_bias": false, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "is_llama_config": true,
                "mlp_bias": false, "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-5, "rope_interleaved": false,
                "rope_scaling": null, "rope_theta": 100_000, "tie_word_embeddings": true,
                "transformers.js_config": { "kv_cache_dtype": { "q4f16": "float16", "fp16": "float16" } },
            }),
        ),
        parameters: 134_515_008,
        tokens: &["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        begin: Some("<|im_start|>"),
        end: "<|im_end|>",
        cut: Cut::Bytes,
        begins: false,
        tokenizer: json!({
            "add_prefix_space": false, "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": "<|im_start|>",
            "chat_template": "{{ messages }}", "clean_up_tokenization_spaces": false, "eos_token": "<|im_end|>",
            "model_max_length": 8192, "pad_token": "<|im_end|>", "tokenizer_class": "GPT2Tokenizer",
            "unk_token": "<|endoftext|>", "vocab_size": 49_152,
        }),
        lists: true,
        map: json!({ "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": token("<|im_start|>", false) }),
        generation: json!({ "_from_model_config": true, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2 }),
        draws: false,
    };
    // Asks for a begin token that its template does not add.
    let deepseek = Published {
        name: "DeepSeek R1 Distill Qwen 1.5B",
        model: model(
            "qwen2",
            [1536, 28, 12, 2, 8960, 131_072, 151_936],
            json!({
                "bos_token_id": 151_643, "eos_token_id": 151_643, "hidden_act": "silu", "max_window_layers": 21, "rms_norm_eps": 1e-6,
                "rope_theta": 10_000, "sliding_window": 4096, "tie_word_embeddings": false, "use_mrope": false,
                "use_sliding_window": false,
            }),
        ),
        parameters: 1_777_088_000,
        tokens: &["<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>"],
        begin: Some("<｜begin▁of▁sentence｜>"),
        end: "<｜end▁of▁sentence｜>",
        cut: Cut::Bytes,
        begins: false,
        tokenizer: json!({
            "add_bos_token": true, "add_eos_token": false, "bos_token": token("<｜begin▁of▁sentence｜>", true),
            "clean_up_tokenization_spaces": false, "eos_token": token("<｜end▁of▁sentence｜>", true), "legacy": true,
            "model_max_length": 16_384, "pad_token": token("<｜end▁of▁sentence｜>", true), "sp_model_kwargs": {},
            "unk_token": null, "tokenizer_class": "LlamaTokenizerFast", "chat_template": "{{ bos_token }}",
        }),
        lists: false,
        map: Value::Null,
        generation: json!({
            "_from_model_config": true, "bos_token_id": 151_646, "eos_token_id": 151_643, "do_sample": true, "temperature": 0.6,
            "top_p": 0.95, "transformers_version": "4.39.3",
        }),
        draws: true,
    };
    vec![small, medium, llama, qwen25, qwen3, smol, deepseek]
}

/// Models whose vocabularies are of SentencePiece's.
pub(crate) fn piece_models() -> Vec<Published> {
    let rotary = |theta: f64| {
        json!({
            "attention_bias": false, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "rope_scaling": null, "rope_theta": theta, "tie_word_embeddings": false,
        })
    };
    let of_gemma = |more: Value| {
        with(
            json!({
                "attention_bias": false, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 107], "head_dim": 256,
                "hidden_activation": "gelu_pytorch_tanh", "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-6,
            }),
            more,
        )
    };
    let gemma = |name, model, parameters, more: Value, generation, draws| Published {
        name,
        model,
        parameters,
        tokens: &[
            "<pad>",
            "<eos>",
            "<bos>",
            "<unk>",
            "<mask>",
            "<start_of_turn>",
            "<end_of_turn>",
            "<image_soft_token>",
        ],
        begin: Some("<bos>"),
        end: "<eos>",
        cut: Cut::Replace,
        begins: true,
        tokenizer: with(
            json!({
                "add_bos_token": true, "add_eos_token": false, "bos_token": "<bos>", "chat_template": "{{ bos_token }}",
                "clean_up_tokenization_spaces": false, "eos_token": "<eos>", "model_max_length": 1e30, "pad_token": "<pad>",
                "spaces_between_special_tokens": false, "tokenizer_class": "GemmaTokenizer", "unk_token": "<unk>",
                "use_default_system_prompt": false,
            }),
            more,
        ),
        lists: true,
        map: Value::Null,
        generation,
        draws,
    };
    let gemma2 = gemma(
        "Gemma 2 2B it",
        model(
            "gemma2",
            [2304, 26, 8, 4, 9216, 8192, 256_000],
            of_gemma(json!({
                "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "hidden_act": "gelu_pytorch_tanh",
                "rope_theta": 10_000.0, "sliding_window": 4096,
            })),
        ),
        2_614_341_888,
        json!({ "additional_special_tokens": ["<start_of_turn>", "<end_of_turn>"], "sp_model_kwargs": {} }),
        json!({
            "_from_model_config": true, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 107],
            "pad_token_id": 0,
        }),
        false,
    );
    let gemma3 = gemma(
        "Gemma 3 1B it",
        model(
            "gemma3_text",
            [1152, 26, 4, 1, 6912, 32_768, 262_144],
            of_gemma(json!({
                "attn_logit_softcapping": null, "final_logit_softcapping": null, "rope_local_base_freq": 10_000,
                "rope_scaling": null, "rope_theta": 1_000_000, "sliding_window": 512, "sliding_window_pattern": 6,
            })),
        ),
        999_885_952,
        json!({
            "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>",
            "extra_special_tokens": {
                "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>",
            },
            "processor_class": "Gemma3Processor", "sp_model_kwargs": null,
        }),
        json!({
            "bos_token_id": 2, "cache_implementation": "hybrid", "do_sample": true, "eos_token_id": [1, 106], "pad_token_id": 0,
            "top_k": 64, "top_p": 0.95,
        }),
        true,
    );
    let mistral = Published {
        name: "Mistral 7B Instruct v0.3",
        model: model(
            "mistral",
            [4096, 32, 32, 8, 14_336, 32_768, 32_768],
            with(rotary(1_000_000.0), json!({ "sliding_window": null })),
        ),
        parameters: 7_248_023_552,
        tokens: &["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[control_8]"],
        begin: Some("<s>"),
        end: "</s>",
        cut: Cut::Metaspace,
        begins: true,
        tokenizer: json!({
            "add_bos_token": true, "add_eos_token": false, "add_prefix_space": true, "additional_special_tokens": [],
            "bos_token": "<s>", "chat_template": "{{ bos_token }}", "clean_up_tokenization_spaces": false, "eos_token": "</s>",
            "legacy": false, "model_max_length": 1e30, "pad_token": null, "sp_model_kwargs": {},
            "spaces_between_special_tokens": false, "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>",
            "use_default_system_prompt": false,
        }),
        lists: true,
        map: json!({ "bos_token": token("<s>", false), "eos_token": token("</s>", false), "unk_token": token("<unk>", false) }),
        generation: json!({ "_from_model_config": true, "bos_token_id": 1, "eos_token_id": 2 }),
        draws: false,
    };
    let phi = Published {
        name: "Phi 3 mini 4k Instruct",
        model: model(
            "phi3",
            [3072, 32, 32, 32, 8192, 4096, 32_064],
            with(
                rotary(10_000.0),
                json!({
                    "_name_or_path": "Phi-3-mini-4k-instruct", "auto_map": { "AutoConfig": "configuration_phi3.Phi3Config" },
                    "embd_pdrop": 0.0, "eos_token_id": 32_000, "original_max_position_embeddings": 4096, "pad_token_id": 32_000,
                    "resid_pdrop": 0.0, "sliding_window": 2047,
                }),
            ),
        ),
        parameters: 3_821_079_552,
        tokens: &["<unk>", "<s>", "</s>", "<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>"],
        begin: Some("<s>"),
        end: "<|endoftext|>",
        cut: Cut::Prepend,
        begins: false,
        tokenizer: json!({
            "add_bos_token": false, "add_eos_token": false, "bos_token": "<s>", "chat_template": "{{ messages }}",
            "clean_up_tokenization_spaces": false, "eos_token": "<|endoftext|>", "legacy": false, "model_max_length": 4096,
            "pad_token": "<|endoftext|>", "padding_side": "left", "sp_model_kwargs": {}, "tokenizer_class": "LlamaTokenizer",
            "unk_token": "<unk>", "use_default_system_prompt": false,
        }),
        lists: true,
        map: json!({ "bos_token": token("<s>", false), "eos_token": token("<|endoftext|>", false) }),
        generation: json!({
            "_from_model_config": true, "bos_token_id": 1, "eos_token_id": [32_000, 32_001, 32_007], "pad_token_id": 32_000,
        }),
        draws: false,
    };
    let tiny = Published {
        name: "TinyLlama 1.1B Chat v1.0",
        model: model(
            "llama",
            [2048, 22, 32, 4, 5632, 2048, 32_000],
            with(rotary(10_000.0), json!({ "pretraining_tp": 1 })),
        ),
        parameters: 1_100_048_384,
        tokens: &["<unk>", "<s>", "</s>"],
        begin: Some("<s>"),
        end: "</s>",
        cut: Cut::Prepend,
        begins: true,
        tokenizer: json!({
            "bos_token": "<s>", "chat_template": "{{ messages }}", "clean_up_tokenization_spaces": false, "eos_token": "</s>",
            "legacy": false, "model_max_length": 2048, "pad_token": "</s>", "padding_side": "right", "sp_model_kwargs": {},
            "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>", "use_default_system_prompt": false,
        }),
        lists: false,
        map: json!({
            "bos_token": token("<s>", false), "eos_token": token("</s>", false), "pad_token": "</s>",
            "unk_token": token("<unk>", false),
        }),
        generation: json!({ "bos_token_id": 1, "eos_token_id": 2, "max_length": 2048, "pad_token_id": 0 }),
        draws: false,
    };
    let first = Published {
        name: "LLaMA 7B",
        model: model(
            "llama",
            [4096, 32, 32, 32, 11_008, 2048, 32_000],
            with(
                rotary(10_000.0),
                json!({ "max_sequence_length": 2048, "pad_token_id": -1, "rms_norm_eps": 1e-6 }),
            ),
        ),
        parameters: 6_738_415_616,
        tokens: &["<unk>", "<s>", "</s>"],
        begin: Some("<s>"),
        end: "</s>",
        cut: Cut::Prepend,
        begins: true,
        tokenizer: json!({
            "add_bos_token": true, "add_eos_token": false, "bos_token": token("<s>", true), "clean_up_tokenization_spaces": false,
            "eos_token": token("</s>", true), "model_max_length": 2048, "pad_token": null, "sp_model_kwargs": {},
            "tokenizer_class": "LlamaTokenizer", "unk_token": token("<unk>", true),
        }),
        lists: false,
        map: Value::Null,
        generation: json!({ "_from_model_config": true, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": -1 }),
        draws: false,
    };
    vec![gemma2, gemma3, mistral, phi, tiny, first]
}
