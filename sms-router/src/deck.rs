//! The price deck as a CSV file: reads it whole or refuses it with line, column and what to mend. Knows no store.
