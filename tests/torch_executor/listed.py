"""Official node tests that the executor does not pass as they are, by reason."""

# The executor refuses these, with an error that names the node.
REFUSED = {
    "training operators: this is an executor, not an optimizer": [
        "test_adagrad",
        "test_adagrad_multiple",
        "test_adam",
        "test_adam_multiple",
        "test_momentum",
        "test_nesterov_momentum",
        "test_momentum_multiple",
    ],
    "operators of ai.onnx.ml (trees, labels, features): no tensors to differentiate": [
        "test_ai_onnx_ml_array_feature_extractor",
        "test_ai_onnx_ml_binarizer",
        "test_ai_onnx_ml_label_encoder_string_int",
        "test_ai_onnx_ml_label_encoder_string_int_no_default",
        "test_ai_onnx_ml_label_encoder_tensor_mapping",
        "test_ai_onnx_ml_label_encoder_tensor_value_only_mapping",
        "test_ai_onnx_ml_tree_ensemble_single_tree",
        "test_ai_onnx_ml_tree_ensemble_set_membership",
    ],
    "image files: decoding is not arithmetic": [
        "test_image_decoder_decode_jpeg_rgb",
        "test_image_decoder_decode_jpeg_grayscale",
        "test_image_decoder_decode_jpeg_bgr",
        "test_image_decoder_decode_jpeg2k_rgb",
        "test_image_decoder_decode_bmp_rgb",
        "test_image_decoder_decode_png_rgb",
        "test_image_decoder_decode_tiff_rgb",
        "test_image_decoder_decode_webp_rgb",
        "test_image_decoder_decode_pnm_rgb",
    ],
    "regular expressions: ONNX's dialect is not Python's": [
        "test_regex_full_match_basic",
        "test_regex_full_match_email_domain",
        "test_regex_full_match_empty",
    ],
    "aligned corners at a scale that gives no whole size: onnxruntime and onnx differ": [
        "test_resize_downsample_scales_linear_align_corners",
        "test_resize_downsample_scales_cubic_align_corners",
    ],
    "maximum of weighted corners: frameworks and onnx differ": [
        "test_roialign_mode_max",
    ],
}

# Chance decides the values: types and shapes are compared.
RANDOM = [
    "test_bernoulli",
    "test_bernoulli_double",
    "test_bernoulli_double_expanded",
    "test_bernoulli_expanded",
    "test_bernoulli_seed",
    "test_bernoulli_seed_expanded",
    "test_training_dropout",
    "test_training_dropout_default",
    "test_training_dropout_default_mask",
    "test_training_dropout_mask",
]

# The published values carry more rounding errors than the tests' tolerance allows: how far off
# results may be, absolutely, and why.
ROUNDED = {
    "test_attention_4d_causal_bf16": 1e-2,
    "test_attention_4d_causal_bf16_expanded": 1e-2,
    "test_attention_4d_causal_fp16": 1e-3,
    "test_attention_4d_causal_fp16_expanded": 1e-3,
    "test_attention_4d_padded_kv_bf16": 1e-2,
    "test_attention_4d_padded_kv_bf16_expanded": 1e-2,
    "test_attention_4d_causal_padded_kv_bf16": 1e-2,
    "test_attention_4d_causal_padded_kv_bf16_expanded": 1e-2,
    "test_attention_4d_attn_mask_causal_bf16": 1e-2,
    "test_attention_4d_attn_mask_causal_bf16_expanded": 1e-2,
    "test_attention_3d_causal_bf16": 1e-2,
    "test_attention_3d_causal_bf16_expanded": 1e-2,
    "test_dft_inverse_opset19": 1e-6,
    "test_dft_inverse": 1e-6,
}
