from benchmarks import dna_variants


def test_both_sides_give_the_same_scores(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["dna_variants", "--positions", "3", "--rounds", "1"])
    dna_variants.main()
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("9 variants, largest difference ")
    assert float(first.split()[-2]) < 1e-5
    assert "together is " in rest[-1]
