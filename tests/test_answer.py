"The scripts of the answer that need nothing beyond the package."
from answer.kept import add, rows_in


def test_a_table_grows_row_by_row_and_keeps_its_folds_as_text(tmp_path):
    path = tmp_path/'table.csv'
    assert rows_in(path, 'model', 'fold').columns.tolist() == ['model', 'fold']
    add(path, dict(model='dot', fold='1', rmse=.9))
    add(path, dict(model='dot', fold='2', rmse=.8), dict(model='nn', fold='user-time', rmse=.7))
    rows = rows_in(path, 'model', 'fold')
    assert rows.fold.tolist() == ['1', '2', 'user-time'] and rows.rmse.tolist() == [.9, .8, .7]
    assert [p.name for p in tmp_path.iterdir() if not p.name.endswith('.lock')] == ['table.csv']
