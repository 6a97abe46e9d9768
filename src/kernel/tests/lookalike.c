// SPDX-License-Identifier: Apache-2.0
// A library that is looked for by its name alone.
int tidewaiter_lookalike(void);
int tidewaiter_lookalike(void) { return 1; }
