"""Imputers compared: what they fill in for hidden values of whole tables, and how long they take.

    OMP_NUM_THREADS=1 python -m benchmarks.imputation --fast
    OMP_NUM_THREADS=1 python -m benchmarks.imputation [--data FOLDER] [--sets iris ...]
        [--methods ...] [--mechanisms MCAR MAR MNAR] [--shares 0.1 0.3 0.5 0.7] [--seeds 5]
        [--measure standard|range]

The protocol is that of ReMasker and CACTI: values of whole tables are hidden by three mechanisms
(`masks`) at four shares, every imputer learns from the table with the holes and fills them, and
the error is the root mean square over the hidden numbers, columns scaled to run from 0 to 1 as
there ("range"), and standardised by the whole table, so that each counts alike ("standard"); of
hidden categories the share that is wrong. Masks depend on the seed only and are the same for all.

- `sets`: what scikit-learn and statsmodels ship, synthetic tables, and with FOLDER, tables in
  files; what is not there is left out. On `FRESH` ones no choice was made: they have a summary of
  their own;
- `methods`: the mean (the most common category), the five nearest rows, scikit-learn's
  IterativeImputer on standardised columns with categories as numbers (ordinal) or one-hot, the
  same with extremely randomised trees ("forest", as MissForest), MaskedImputer's network alone,
  as it was by default before the closed form ("network"), and MaskedImputer.

Printed are, for each set and mechanism, errors over that of IterativeImputer (one-hot) at every
share, with the seconds of the processor, and after each set, of all until then, in both measures:
the mean rank of each method over sets, mechanisms and shares, the geometric mean of its errors
over those of IterativeImputer, the largest of these ratios, and how many are above 1.02. Masks
have five seeds, or three in tables of 600 rows and more. --fast leaves out the slow methods and
sets, and takes three seeds: some minutes. HyperImpute is not compared: it is no dependency here.
"""
