"""Fields of networks as what another network learns: kept for each image, shown in any view, and compared."""
