//! Named faults of the stack: each must make a script fail.
