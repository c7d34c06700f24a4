"""Imputers compared: what they fill in for hidden values of whole tables, and how long they take.

    OMP_NUM_THREADS=1 python -m benchmarks.imputation --fast
    OMP_NUM_THREADS=1 python -m benchmarks.imputation [--data FOLDER] [--sets iris ...]
        [--methods ...] [--mechanisms MCAR MAR MNAR] [--shares 0.1 0.3 0.5 0.7] [--seeds 5]

The protocol is that of ReMasker and CACTI: values of whole tables are hidden by three mechanisms
(`masks`) at four shares, every imputer learns from the table with the holes and fills them, and
the error is the root mean square over the hidden numbers, standardised by the whole table; of
hidden categories the share that is wrong. Masks depend on the seed only and are the same for all.

- `sets`: what scikit-learn ships, Friedman's two functions, and with FOLDER, tables in files that
  are left out where they are not;
- `methods`: the mean (the most common category), the five nearest rows, scikit-learn's
  IterativeImputer on standardised columns with categories as numbers (ordinal) or one-hot, the
  same with extremely randomised trees ("forest", as MissForest), MaskedImputer's network alone,
  as it was by default before the closed form ("network"), and MaskedImputer.

Printed are, for each set and mechanism, errors over that of IterativeImputer (one-hot) at every
share, with the seconds of the processor; and at the end the mean rank of each method. --fast
leaves out the slow methods and sets, and takes three seeds: some minutes.
"""
