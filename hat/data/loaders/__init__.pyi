from .data_loader import DataLoader as DataLoader
