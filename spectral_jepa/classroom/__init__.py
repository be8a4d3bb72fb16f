"""The classroom: what its six apps and its offline page compute and draw; the apps are thin scripts in classroom/.

One idea, one module: :mod:`~spectral_jepa.classroom.u_curve`, :mod:`~spectral_jepa.classroom.broken_theorem`,
:mod:`~spectral_jepa.classroom.collapse`, :mod:`~spectral_jepa.classroom.room_map`,
:mod:`~spectral_jepa.classroom.latent_or_input` and :mod:`~spectral_jepa.classroom.dream`. What is asked, said and exercised
stands in :mod:`~spectral_jepa.classroom.lessons`, pictures in :mod:`~spectral_jepa.classroom.pictures`. Nothing here loads
torch before it is needed, which is in the third lesson's live training and in the sixth.
"""
