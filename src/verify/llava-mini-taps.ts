/** Our name of an intermediate, by its recorded name (of one frame). */
const tapNames: readonly (readonly [RegExp, string])[] = [
  [/^vision\.hidden_states\.(\d+)$/, "vision.hidden.$1"],
  [/^vision\.features$/, "vision.features"],
  [/^compressor\.ln_q$/, "compressor.normedQuery"],
  [/^compressor\.ln_kv$/, "compressor.normedPatches"],
  [/^compressor\.pos_embed_resized$/, "compressor.keyPositions"],
  [/^compressor\.attn_weights$/, "compressor.attention"],
  [/^compressor\.output$/, "compressor.output"],
  [/^compressor\.input_hd_raster$/, "compressor.raster"],
  [/^projector\.hd_raster$/, "projector.raster"],
  [/^projector\.(compressed|global)$/, "projector.$1"],
  [/^text_embeds$/, "text"],
  [/^prefusion\.input$/, "prefusion.input"],
  [/^prefusion\.layer\.(\d+)$/, "prefusion.layers.$1"],
  [/^fused\.compressed$/, "prefusion.compressed"],
  [/^fused\.text$/, "prefusion.text"],
];

/** Our name of a recorded intermediate; undefined where we have none. */
export const tapNameOf = (recordedName: string): string | undefined => {
  const rule = tapNames.find(([pattern]) => pattern.test(recordedName));
  return rule && recordedName.replace(rule[0], rule[1]);
};
