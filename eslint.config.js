import rxjs from 'eslint-plugin-rxjs-x';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['cache/**', 'runs/**', 'test/fixtures/**', 'node_modules/**', '*.config.js'] },
  ...tseslint.configs.strictTypeChecked,
  rxjs.configs.strict,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Typed arrays and tensors are indexed in hot loops where the bound is the loop's own condition.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      // Endless loops that end by return or by yield are how async generators are written.
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      'max-lines': ['error', { max: 400 }],
      // A `$` suffix marks observables only where a plain value of the same name exists.
      'rxjs-x/finnish': 'off',
    },
  },
);
