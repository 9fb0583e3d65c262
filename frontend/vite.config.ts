import { defineConfig } from "vite";

// One module for panel, cards, tile feature and strategy; its name changes with its content.
export default defineConfig({
  build: {
    target: "es2022",
    outDir: "../custom_components/kitty/frontend",
    // script/frontend lets go of old ones: a Home Assistant that runs still serves the one it began with.
    emptyOutDir: false,
    modulePreload: false,
    reportCompressedSize: true,
    rolldownOptions: {
      input: "src/main.ts",
      preserveEntrySignatures: false,
      output: {
        format: "es",
        codeSplitting: false,
        entryFileNames: "kitty-[hash].js",
        assetFileNames: "kitty-[hash][extname]",
      },
    },
  },
});
