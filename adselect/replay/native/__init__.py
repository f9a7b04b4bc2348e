"""Small programs compiled with numba: loops over numbers and short arrays, where NumPy's cost is that of its calls.

The simplified program is written once more, as loops: elementwise operations of one shape share a loop and keep their
values in registers, sums are accumulated on the way, views are index arithmetic. What has no line here (a
factorisation, a sort, a long array, for which NumPy's loops are as good) leaves the program with NumPy.

Everything that lives from one loop to another has its place in one workspace. Long programs are cut into functions of
some hundred lines, since compilers take much longer for one function of twice the length.

Sums are added up one after the other and functions are those of the C library, so that last digits differ from NumPy's,
also where a comparison depends on them.
"""
